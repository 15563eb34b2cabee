from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0006_attempt_waiting"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="session",
            field=models.CharField(
                blank=True, default="", help_text="What its program calls the conversation.", max_length=200
            ),
        ),
    ]
