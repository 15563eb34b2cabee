from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0003_pages_and_packed_chunks")]

    operations = [
        migrations.AddField(
            model_name="conversationpage", name="clears", field=models.BooleanField(default=False)
        ),
    ]
